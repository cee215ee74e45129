"""Pictures of a search: its front, its hypervolume over the cost, schedules."""
