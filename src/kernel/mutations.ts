// Deliberate faults of the kernel, so that the simulator can show that it finds them. All are off unless a test turns
// one on; production code never does.

export const mutations = [
  // --- journals
  'skip-vote-check', // a voter does not ask whether the candidate has everything
  'vote-twice', // a voter grants its vote to everybody in one term
  'forget-vote', // a voter does not store whom it voted for
  'ack-before-majority', // a leader commits what only itself has stored
  'ack-before-stored', // a follower acknowledges before its disk does
  'skip-log-match', // a follower takes entries that do not follow its own
  'commit-old-terms', // a leader commits entries of earlier terms by counting copies
  'read-unconfirmed', // a leader answers reads without asking whether it still leads
  'reconfigure-early', // members change while another change is not committed
  'forget-fencing', // a member takes what the leader of an earlier term sends
  'witness-goes-back', // a witness believes an older message of its leader
  'claim-more-copies', // an acknowledgement counts one device more than there is
  'never-refill', // nobody takes the place of a member that is gone
  // --- membership
  'keep-the-dead', // whoever falls silent is never judged
  // --- the tree
  'drop-branch', // a branch is forgotten without being merged
  'absorb-unseen', // a tree counts as merged where nothing is known of it
  'place-once', // what a node that is gone kept nobody keeps instead
  'need-nothing', // those who keep a tree say of leaves that no version needs them
  'sweep-live', // blocks of forgotten versions are freed whoever else means them
  // --- processes
  'repeat-output', // what a re-run prints again is shown again
  'reuse-event-id', // of many events that one emits, two have the same id
  'forget-files', // a new home does not make the file changes that the old one had journalled
  'skip-hold', // a member acknowledges an entry without the blocks that it refers to
] as const
export type Mutation = (typeof mutations)[number]

const active = new Set<Mutation>()

export function mutated(mutation: Mutation): boolean {
  return active.has(mutation)
}

/** For tests only. @returns what turns it off again. */
export function mutate(mutation: Mutation): () => void {
  active.add(mutation)
  return () => active.delete(mutation)
}
