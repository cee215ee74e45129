collect_ignore_glob = ["*"]  # projects, to be found as users have them: none of their modules is one of the tests
