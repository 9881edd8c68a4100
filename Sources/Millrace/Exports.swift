// One import is enough to embed the engine: definitions, records and JSON come with it, the broker, and what is said about plugins.
@_exported public import MillraceBroker
@_exported public import MillracePlugins
@_exported public import MillraceWorkflow
