"""Rating: tasks for raters, the rating server, and which questions need more answers."""
