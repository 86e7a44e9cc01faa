"""A small study that works: ``preop new`` copies it under another name. Nothing in the library imports it."""
