"""Whatever of torch is not public: nothing else in ganforge touches it, so that another torch is met here alone."""
