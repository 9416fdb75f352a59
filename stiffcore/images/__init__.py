"""Images that a network sees."""
