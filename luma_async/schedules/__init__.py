"""Poll schedules: when to look at a job. Pure: no clock and no randomness in here."""
