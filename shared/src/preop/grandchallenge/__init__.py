"""The container contract of grand-challenge.org (2025-11): sockets, cases in, outputs out, predictions, exec and invoke."""
