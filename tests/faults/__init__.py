"""Faults and wrong inputs, each with what is promised: ``python -m tests.faults`` tries them all."""
