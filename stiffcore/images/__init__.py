"""Pictures that a network sees."""
