"""SQL of the journal: one implementation for SQLite and PostgreSQL."""
