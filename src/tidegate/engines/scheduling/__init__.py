"""What an agent does next, and who gets memory on a full machine: pure functions from what there is to what is due."""
