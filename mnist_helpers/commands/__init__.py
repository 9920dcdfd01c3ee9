"""What each command does; `cli` imports the one that is asked for, and nothing else."""
