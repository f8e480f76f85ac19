//! Rules of the tree that a compiler does not check: who may depend on whom, and that documents and code agree. See `tests/`.
