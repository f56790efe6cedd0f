"""Real servers and ready-made suites with which departments test their own bindings."""
