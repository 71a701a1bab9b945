// The search of the site runs in a worker. Browsers start none for a page that is opened from disk, so there the same
// script runs in a hidden frame, which passes messages as a worker does.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.worker = this;
      frame.srcdoc = `<script>
        postMessage = data => frameElement.worker.dispatchEvent(new MessageEvent("message", { data }));
      </script><script src="${new URL(url, location)}"></script>`;
      this.scope = new Promise(resolve => { frame.onload = () => resolve(frame.contentWindow); });
      const attach = () => document.body.append(frame);
      document.body ? attach() : addEventListener("DOMContentLoaded", attach);
    }

    postMessage(data) {
      this.scope.then(scope => scope.dispatchEvent(new scope.MessageEvent("message", { data })));
    }
  };
}
