#if Services
  public import Logging
  public import Millrace

  extension TaskContext {
    /// A logger with `run`, `workflow`, `task` and `attempt` as metadata: that of the engine's `Instruments`; without, what `Logger.current` gives here.
    ///
    /// Code that is not handed a context finds the same as `Logger.current`, if the engine has `Instruments` with a logger. Complexity: O(1), with
    /// `Instruments` no allocation.
    public var logger: Logger {
      if let logger = (observer as? AttemptInstrument)?.logger { return logger }
      var logger = Logger.current
      logger[metadataKey: "run"] = "\(runID)"
      logger[metadataKey: "workflow"] = "\(workflow)"
      logger[metadataKey: "task"] = "\(taskID)"
      logger[metadataKey: "attempt"] = "\(attempt)"
      return logger
    }
  }
#endif
