"""One page about one episode of a run's agent, in one file that a browser opens without a network.

:mod:`agents.page.data` computes what is shown, :mod:`agents.page.body` where the parts of the body are, and
:mod:`agents.page.render` puts both into page.html, with page.css and the scripts beside it, one for each pane.
"""
