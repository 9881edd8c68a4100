internal import CMillrace
internal import MillraceCore

/// An item that has begun: what is made for it, until it is over. Attempts that outlive their verdict, and links, keep it.
final class ItemTurn: @unchecked Sendable {
  let index: Int
  /// The input that expressions made, as JSON; nil: the definition's is as it is. Written by the thread that begins the item, once.
  var input: KeptBytes?
  var environment: TaskEnvironment?
  /// An attempt of it is still about: it stays until the run is freed. Written by whoever ends the attempt.
  var isOut = false

  init(index: Int) { self.index = index }
}

extension UnsafeMutablePointer where Pointee == Attempt {
  /// Of a run of items: the item's turn. unsafe: whoever ends the item keeps it for as long as the attempt is about.
  var turn: ItemTurn? {
    let bits = unsafe turnWord.loadRelaxed()
    return bits == 0 ? nil : unsafe Unmanaged<ItemTurn>.fromOpaque(UnsafeRawPointer(bitPattern: UInt(bits))!).takeUnretainedValue()
  }
}
