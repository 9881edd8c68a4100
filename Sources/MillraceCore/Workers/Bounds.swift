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

  /// A tenant that has jobs of a priority gets its share of the starts of that priority, its weight of the sum of weights of all tenants that have some,
  /// less at most so many: what workers hold, charged already, in their caches, what they may still keep of a turn, and one round of turns.
  public static func fairness(workers: Int, totalWeight: Int) -> Int {
    WorkerCache.capacity * workers + ReadySet.quantum * (workers + totalWeight)
  }
}
