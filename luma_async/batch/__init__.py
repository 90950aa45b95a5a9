"""A file of prompts in; a folder of videos, their results and a gallery out."""
