// One import is enough to embed the engine: definitions, records and JSON come with it, and what is said about plugins.
@_exported public import MillracePlugins
@_exported public import MillraceWorkflow
