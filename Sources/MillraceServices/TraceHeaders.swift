#if Services
  internal import Millrace
  internal import Tracing

  /// Traces as headers, the form in which every tracer takes and gives them.
  struct TraceHeaders: Injector, Extractor {
    func inject(_ value: String, forKey key: String, into headers: inout [String: String]) { headers[key.lowercased()] = value }
    func extract(key: String, from headers: [String: String]) -> String? { headers[key.lowercased()] }

    static func extract(_ trace: TraceContext, into context: inout ServiceContext, by tracer: any Tracer) {
      tracer.extract(["traceparent": trace.description], into: &context, using: TraceHeaders())
    }

    /// nil: the tracer does not say it as W3C Trace Context.
    static func trace(of context: ServiceContext, by tracer: any Tracer) -> TraceContext? {
      var headers: [String: String] = [:]
      tracer.inject(context, into: &headers, using: TraceHeaders())
      return headers["traceparent"].flatMap { TraceContext($0) }
    }
  }
#endif
