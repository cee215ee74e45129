"""What a promoted trial goes on with that Lightning does not keep: values in attributes, metrics, buffers and more."""
