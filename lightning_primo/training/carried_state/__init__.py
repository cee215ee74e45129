"""What a promoted trial goes on with that Lightning does not keep: values in attributes, metrics, buffers and more.

Each of these is a callback (`late_state.LateState`) that keeps one kind of state in the checkpoint:

- `carried_numbers`, `carried_values`: what training changes in attributes of the module, of callbacks and optimisers
- `outside_states`: what has a ``state_dict``, but is held where Lightning does not look
- `callback_states`: what Lightning keeps of callbacks, where hooks that begin a training change it
- `metric_states`, `metric_trackers`: metrics of torchmetrics that follow more than one epoch
- `logged_results`: the sums of an epoch that the training stops inside
- `unsaved_buffers`: buffers with ``persistent=False``
- `training_modes`: layers that were frozen, unfrozen or put into evaluation mode
- `carried_data`: data sets, samplers and data modules that change while they are read
- `loader_sources`: what loaders were made of by a module that training changes, and data that were made anew
- `kept_iterators`: nothing, it looks whether data are read on in the next epoch
- `same_validation_data`: nothing, it looks whether the validation data are the same

`carried_data` and `loader_sources` look where loaders are made (`loader_state.LoaderState`).

The others are how values are found (`holders`, `values_by_place`) and written (`plain_numbers`, `plain_values`,
`shared_tensors`, `metric_contents`).
"""
