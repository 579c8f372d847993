"""For authors of plugins: a project to begin with, and a look at one that is there."""
