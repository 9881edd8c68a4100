// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CMillraceEmbedding
internal import Millrace
internal import MillraceWorkflow
internal import Synchronization

// What millrace/millrace.h says of schedules. Throughout, unsafe: the caller's memory is as the header says.

@c @implementation public func millrace_schedule_follow(
  _ workflow: millrace_workflow, _ options: UnsafePointer<millrace_schedule_options>?, _ schedule: UnsafeMutablePointer<millrace_schedule>?,
  _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let embedded = try HandleTable.shared.find(workflow.id, EmbeddedWorkflow.self)
    let place = try unsafe Arguments.place(schedule, "schedule")
    unsafe place.pointee.id = 0
    let wish = try unsafe options == nil ? millrace_schedule_options() : Arguments.read(options, "options")
    if unsafe wish.finished != nil && wish.started == nil {
      throw Failure(.badArgument, "options.finished needs options.started, which is given the runs to release")
    }
    let handled = unsafe wish.handled
    guard handled >= 0 else { throw Failure(.badArgument, "options.handled is \(handled): it counts seconds from 1970 on") }
    let parameters = try unsafe Arguments.parameters(wish.parameters, wish.parameters_length, "options.parameters")
    let tenant = try unsafe Arguments.optionalText(wish.tenant, "options.tenant")
    let owner = embedded.owner
    // unsafe: kept until the engine is destroyed, and called by any thread, as the header says.
    nonisolated(unsafe) let told = unsafe wish
    let made: ScheduledWorkflow
    do {
      made = try embedded.schedule(parameters, tenant: tenant, handled: handled == 0 ? nil : handled) { event in
        switch event {
        case .started(let fire, let handle): unsafe begun(handle, fire, told, of: owner)
        case .refused(let fire, let reason):
          if let refused = unsafe told.refused { unsafe withCTexts(["\(reason)"]) { unsafe refused(told.context, fire.seconds, $0[0]) } }
        }
      }
    } catch let error as DefinitionError {
      // The definition was found good: these are faults of the parameters.
      throw Failure(.badArgument, "\(error)")
    }
    do { unsafe place.pointee.id = try HandleTable.shared.add(EmbeddedSchedule(made, of: owner)) } catch {
      made.stop()
      throw error
    }
  }
}

/// A run was started for a fire. unsafe: as above.
@unsafe private func begun(_ handle: WorkflowHandle, _ fire: UTCTime, _ told: millrace_schedule_options, of owner: EmbeddedEngine) {
  let made = EmbeddedRun(handle, of: owner)
  owner.counts.started.wrappingAdd(1, ordering: .relaxed)
  guard let started = unsafe told.started else { return unsafe made.follow(0, context: nil, nil) }
  // Without room for a handle the run goes on all the same: it is none.
  let id = (try? HandleTable.shared.add(made)) ?? 0
  unsafe started(told.context, millrace_run(id: id), fire.seconds)
  unsafe made.follow(id, context: told.context, id == 0 ? nil : told.finished)
}

@c @implementation public func millrace_schedule_read(
  _ schedule: millrace_schedule, _ handled: UnsafeMutablePointer<Int64>?, _ next: UnsafeMutablePointer<Int64>?,
  _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let followed = try HandleTable.shared.find(schedule.id, EmbeddedSchedule.self).followed
    if let handled = unsafe handled { unsafe handled.pointee = followed.state.handled.seconds }
    if let next = unsafe next { unsafe next.pointee = followed.nextFire?.seconds ?? .max }
  }
}

@c @implementation public func millrace_schedule_pause(_ schedule: millrace_schedule, _ error: UnsafeMutablePointer<millrace_error>?)
  -> Int32
{
  unsafe perform(error) { try HandleTable.shared.find(schedule.id, EmbeddedSchedule.self).followed.pause() }
}

@c @implementation public func millrace_schedule_resume(_ schedule: millrace_schedule, _ error: UnsafeMutablePointer<millrace_error>?)
  -> Int32
{
  unsafe perform(error) { try HandleTable.shared.find(schedule.id, EmbeddedSchedule.self).followed.resume() }
}

@c @implementation public func millrace_schedule_stop(_ schedule: millrace_schedule, _ error: UnsafeMutablePointer<millrace_error>?)
  -> Int32
{
  unsafe perform(error) { try HandleTable.shared.remove(schedule.id, EmbeddedSchedule.self).followed.stop() }
}
