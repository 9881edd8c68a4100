// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CMillraceEmbedding
internal import Millrace
internal import Synchronization

// What millrace/millrace.h says of runs that an earlier process has left. Throughout, unsafe: the caller's memory is as the header says.

@c @implementation public func millrace_engine_resume(
  _ engine: millrace_engine, _ resumption: UnsafePointer<millrace_resumption>?, _ count: UnsafeMutablePointer<UInt64>?,
  _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let embedded = try HandleTable.shared.find(engine.id, EmbeddedEngine.self)
    let wish = try unsafe resumption == nil ? millrace_resumption() : Arguments.read(resumption, "resumption")
    if unsafe wish.finished != nil && wish.resumed == nil {
      throw Failure(.badArgument, "resumption.finished needs resumption.resumed, which is given the runs to release")
    }
    try embedded.checkIsOutside("millrace_engine_resume")
    let found = try embedded.resume()
    func tell(_ run: String, _ reason: String) {
      guard let left = unsafe wish.left else { return }
      unsafe withCTexts([run, reason]) { unsafe left(wish.context, $0[0], $0[1]) }
    }
    for handle in found.handles {
      let made = EmbeddedRun(handle, of: embedded)
      embedded.counts.started.wrappingAdd(1, ordering: .relaxed)
      var id: UInt64 = 0
      var finished = unsafe wish.finished
      if let resumed = unsafe wish.resumed {
        do throws(Failure) {
          id = try HandleTable.shared.add(made)
          unsafe withCTexts([handle.definition.name]) { unsafe resumed(wish.context, millrace_run(id: id), $0[0]) }
        } catch {
          // The run does not stop for that.
          unsafe finished = nil
          tell(handle.id, "it goes on, without a handle: \(error.message)")
        }
      }
      unsafe made.follow(id, context: wish.context, finished)
    }
    for problem in found.problems { tell(problem.run, problem.reason) }
    if let count = unsafe count { unsafe count.pointee = UInt64(found.handles.count) }
  }
}
