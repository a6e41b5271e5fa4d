"""What runs inside mules and child processes while a measure is taken."""
