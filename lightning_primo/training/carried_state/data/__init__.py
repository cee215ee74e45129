"""What data sets, loaders and their iterators are at when a training is promoted."""
