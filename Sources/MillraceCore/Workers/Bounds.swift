/// What a scheduler promises about the order of starts, counted in starts, never in time. docs/core.md tells how each is kept and tested.
///
/// A start is counted when a worker picks the job. Whoever counts in handlers must allow for a worker that the system takes off the processor between
/// the two.
public enum Bounds {
  /// Every so many-th start of a worker goes to the lowest priority that has jobs.
  public static let ageing = 64

  /// After `submit` has returned, at most so many jobs of lower priority start before the submitted one, beside those that ageing gives their turn.
  public static func strictness(workers: Int) -> Int { 2 * workers }

  /// While jobs of higher priorities never end, of every so many consecutive starts at least one is of the lowest priority that has jobs.
  public static func ageing(workers: Int) -> Int { ageing * workers }

  /// Jobs of a tenant with the share `weight` of `total`, the weights of all tenants that have jobs of the priority: between the first and the n-th of
  /// them, at most n x (total / weight - 1) jobs of the other tenants start, and so many more.
  public static func fairness(workers: Int, total: Int) -> Int { WorkerCache.capacity * workers + ReadySet.quantum * total }
}
