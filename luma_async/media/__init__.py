"""Files: videos out."""
