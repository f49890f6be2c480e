"""Rating: tasks for people, and which questions need more answers."""
