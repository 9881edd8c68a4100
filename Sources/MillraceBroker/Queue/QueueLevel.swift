/// The ready messages of one priority, oldest first: a list of those that came, and a heap of those that came back.
struct QueueLevel: ~Copyable {
  var first = QueueEntries.none
  var last = QueueEntries.none
  var returned = LazyHeap(.generation)
  /// In both.
  var count = 0
}
