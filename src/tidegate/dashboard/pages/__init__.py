"""The pages: each module has a page's view model, the pure function that makes it, and the routes."""
