"""Value estimators: TensorDict modules that write advantages and value targets."""
