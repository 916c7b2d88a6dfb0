"""What the engine asks of Linux: processes, memory, exit statuses, scratch directories, deadlines in shared memory."""
