"""Commands of `luma-async`, one module for each, named as typed."""
