"""New study."""
