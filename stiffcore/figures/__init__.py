"""Data -> plotly figure. Nothing is computed here, and nothing imports torch."""
