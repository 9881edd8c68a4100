internal import CMillrace

extension TimerStore {
  /// Puts a node where its due time belongs: the heap if its tick has come, else the wheel.
  @inline(__always)
  mutating func put(_ index: UInt32, due: UInt64) {
    let dueTick = due >> Self.tickShift
    if dueTick <= tick {
      pushHeap(index, due: due)
      return
    }
    let level = (63 - (dueTick ^ tick).leadingZeroBitCount) / 6
    let slot = Int(dueTick >> UInt64(level * 6) & 63)
    let place = level * 64 + slot
    // Safe: level is below 8, as a tick has 44 bits; slot is below 64.
    let bits = unsafe occupied[level]
    if bits & (1 << UInt64(slot)) == 0 {
      unsafe occupied[level] = bits | 1 << UInt64(slot)
      occupiedLevels |= 1 << UInt64(level)
      unsafe earliest[place] = due
    } else if unsafe due < earliest[place] {
      unsafe earliest[place] = due
    }
    let node = unsafe nodes + Int(index)
    let list = unsafe Self.list(node.pointee.sequence)
    let at = place * Self.lists + list
    let head = unsafe heads[at]
    unsafe filled[place] = filled[place] | 1 << UInt8(list)
    unsafe node.pointee.place = UInt16(truncatingIfNeeded: place)
    unsafe node.pointee.next = head
    unsafe node.pointee.previous = 0
    // Node 0 is nobody, so an empty list needs no branch.
    unsafe nodes[Int(head)].previous = index
    unsafe heads[at] = index
  }

  /// Takes a node out of its list. O(1)
  @inline(__always)
  mutating func unlink(_ index: UInt32, from place: UInt16) {
    // Safe: the node is in that slot, so its neighbours are nodes and place is below `slots`.
    let next = unsafe nodes[Int(index)].next
    let previous = unsafe nodes[Int(index)].previous
    unsafe nodes[Int(next)].previous = previous
    if previous != 0 {
      unsafe nodes[Int(previous)].next = next
    } else {
      let list = unsafe Self.list(nodes[Int(index)].sequence)
      unsafe heads[Int(place) * Self.lists + list] = next
      if next == 0, emptied(list, of: Int(place)) {
        if draining == place { draining = Self.noSlot } else { clearBit(Int(place)) }
      }
    }
  }

  /// The list has no more timers. True: nor has the slot.
  @inline(__always)
  private func emptied(_ list: Int, of place: Int) -> Bool {
    // Safe: place is below `slots`.
    let left = unsafe filled[place] & ~(1 << UInt8(list))
    unsafe filled[place] = left
    return left == 0
  }

  private mutating func clearBit(_ place: Int) {
    // Safe: place is below `slots`.
    let bits = unsafe occupied[place >> 6] & ~(1 << UInt64(place & 63))
    unsafe occupied[place >> 6] = bits
    if bits == 0 { occupiedLevels &= ~(1 << UInt64(place >> 6)) }
  }

  /// The slot whose timers come first, or -1 if the wheel is empty. O(1)
  @inline(__always)
  var firstSlot: Int {
    guard occupiedLevels != 0 else { return -1 }
    let level = occupiedLevels.trailingZeroBitCount
    // Safe: level is below 8, as only such bits are set.
    return unsafe level * 64 + occupied[level].trailingZeroBitCount
  }

  /// Starts taking the first slot apart if something in it may be due. False if there is nothing to do yet.
  mutating func beginDrain(at now: UInt64) -> Bool {
    let place = firstSlot
    // Safe: an occupied slot.
    guard place >= 0, unsafe earliest[place] <= now else { return false }
    // All other levels below are empty and no timer of the slot is earlier than this, so the wheel may stand here at once.
    tick = unsafe earliest[place] >> Self.tickShift
    clearBit(place)
    draining = UInt16(truncatingIfNeeded: place)
    return true
  }

  /// Moves one timer of the slot being taken apart to where it belongs now.
  @inline(__always)
  mutating func moveOne() {
    let place = Int(draining)
    // Safe: a slot is being taken apart only while it has timers.
    let bits = unsafe filled[place]
    let later = bits & (0xFE << UInt8(drained))
    drained = (later != 0 ? later : bits).trailingZeroBitCount
    let at = place * Self.lists + drained
    let index = unsafe heads[at]
    let next = unsafe nodes[Int(index)].next
    unsafe heads[at] = next
    unsafe nodes[Int(next)].previous = 0
    if next == 0 {
      if emptied(drained, of: place) { draining = Self.noSlot }
    } else {
      // A node may lie on two lines.
      unsafe millrace_prefetch(nodes + Int(next))
      unsafe millrace_prefetch(UnsafeRawPointer(nodes + Int(next)) + (MemoryLayout<Node>.size - 1))
    }
    put(index, due: unsafe nodes[Int(index)].due)
  }

  /// Moves the wheel's place on where no timer is passed by it. O(1)
  ///
  /// Standing right before the first slot is as far as it can go: the digits above that slot's level stay the same, and all below is empty.
  mutating func catchUp(to nowTick: UInt64) {
    guard draining == Self.noSlot else { return }
    let place = firstSlot
    guard place >= 0 else {
      tick = nowTick
      return
    }
    let shift = UInt64(place >> 6) * 6
    let start = tick & ~(64 << shift - 1) | UInt64(place & 63) << shift
    tick = Swift.max(tick, Swift.min(nowTick, start - 1))
  }
}
