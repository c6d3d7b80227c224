// Bounds of the kernel, each with its reason. What callers may rely on stands in syscalls/limits.ts.

// --- rpc ---------------------------------------------------------------------------------------------------
/** Largest frame accepted from a peer: one event's data (1 MiB) or a page of rows, with room around it. */
export const MAX_FRAME_BYTES = 2 * 1024 * 1024
/** Calls one peer may have under way here: 64 workers' events and reads; more is a bug or an attack. */
export const MAX_PEER_CALLS = 512
/** Their arguments together, which take some times as much memory as on the way: 64 workers' events have a third of it. */
export const MAX_PEER_CALL_BYTES = 32 * 1024 * 1024
/** Bytes queued for one peer before calls to it are refused with EAGAIN: bounds memory when a link is slow. */
export const MAX_QUEUED_BYTES = 16 * 1024 * 1024
/**
 * Bytes a caller lets the other side send ahead over one link: at least what the socket of a browser holds that is not read
 * for a moment (measured: with half as much again packets are lost); for each ms of a round trip twice what 16 MiB/s bring,
 * because credit comes back for a half at a time; at most what memory is worth.
 */
export const MIN_WINDOW_BYTES = 512 * 1024
export const WINDOW_BYTES_PER_MS = 32 * 1024
export const MAX_WINDOW_BYTES = 4 * 1024 * 1024
/** From so many quick answers on, the quickest is believed to tell how far away a peer is: the first may be of one that boots. */
export const RTT_ANSWERS = 4
/**
 * Bytes of items in a lane's buffer from which on the next waits, for half of it to go: twice what a channel takes at a time.
 * What is in there goes first, also when nobody wants it any more: on a link of 1 Mbit/s for four seconds.
 */
export const LANE_BACKLOG_BYTES = 512 * 1024
/** Piece of large data in one frame: a small call waits for at most one of them. */
export const ITEM_BYTES = 256 * 1024
/**
 * Piece of a block in one frame, which is one message then, once the channel is warm: nobody has to join it. Half as much costs
 * a reader of three holders a tenth more processor time; twice as much gains nothing, and a small call waits for it.
 */
export const BLOCK_ITEM_BYTES = 64 * 1024 - 256
/** A piece is sent packed if that leaves less than this of it: what it costs to unpack is made up for many times then. */
export const PACKED_SHARE = 7 / 8
/** Blocks up to this size are sent several in one frame; each takes so many bytes more in it. */
export const SMALL_BLOCK_BYTES = 16 * 1024
export const BLOCK_PIECE_BYTES = 32
/** Small files that go ahead of one message (blocks/enclosed.ts): what there is beyond is asked for, which the receiver paces. */
export const ENCLOSED_BYTES = 256 * 1024
/** Where so much waits to be sent already, all are asked for. */
export const ENCLOSED_QUEUE_BYTES = 32 * 1024
/** Of those that came, so many are remembered. */
export const ENCLOSED_KEPT_BYTES = 1024 * 1024
/** A stream that does not say hello in this time is closed. Loaded laptops need seconds for their first frame. */
export const HELLO_TIMEOUT_MS = 15_000
export const DEFAULT_CALL_TIMEOUT_MS = 10_000

// --- membership --------------------------------------------------------------------------------------------
/** Full mesh up to here (one class of laptops); beyond, Kademlia neighbours and a spread. */
export const MAX_MESH_PEERS = 32
/** Who stayed so long stays longer, mostly. */
export const SETTLED_MS = 60_000
/** Room on a disk that counts as none, and as ample. */
export const FULL_BYTES = 64 * 1024 * 1024
export const AMPLE_BYTES = 1024 * 1024 * 1024
/** Of a node's own disk, for what makes room when there is none: so many pieces, once the disk holds so much. */
export const RESERVE_PIECES = 4
export const RESERVE_PIECE_BYTES = 1024 * 1024
export const RESERVE_FROM_BYTES = 16 * 1024 * 1024
/** How old what is known of the own disk may be when it is told: asking the browser costs some ms. */
export const STORAGE_CLASS_MS = 60_000
/** The same where something was refused because it was full. */
export const STORAGE_FULL_MS = 5_000
/** Candidates remembered: a class many times over, but not whatever a hostile peer invents. */
export const MAX_CANDIDATES = 4096
/** Dials under way at once: each costs an RTCPeerConnection and CPU on both sides. */
export const MAX_DIALS = 4
export const HEARTBEAT_MS = 2_000
/** Who hears a node's heartbeats: two see it fall silent even when one of them goes at the same time. */
export const WATCHERS = 2
/** How often the round trip to each peer is measured, which in a class of 28 is half of what an idle tab sends. */
export const RTT_EVERY_MS = 60_000
/** Measured with every heartbeat at first, because the first sample is taken while the newcomer still boots. */
export const RTT_FIRST_SAMPLES = 4
/** Silence that makes a peer suspect: at least two missed heartbeats; the measured rhythm may raise it. */
export const MIN_SUSPECT_MS = 4_200
export const MAX_SUSPECT_MS = 10_000
/** A question unanswered for this long counts as silence where there is other evidence: many round trips. */
export const ANSWER_MS = 800
/** Nothing at all comes of a silent peer that was asked, for so long: its network stack is gone. Lost packets are sent again sooner. */
export const UNHEARD_MS = 1_500
/** Pause after a silent peer's network stack was found to be there; doubles each time, up to the second. */
export const CALM_MS = 2_000
export const MAX_CALM_MS = 60_000
/** Silence after the relay saw a tab's connection close: a live tab is asked at once and answers in many round trips. */
export const HINT_SILENCE_MS = 1_000
/** A tick of ours that comes later than this is our own stall, and is not held against peers. */
export const OWN_STALL_MS = 400
/** After somebody came: until clocks are compared, when the newcomer has met the others too. */
export const CLOCKS_COMPARED_MS = 5_000
/** How long a closed link may take to come back before its peer counts as gone. */
export const RECONNECT_GRACE_MS = 3_000
/** What the relay said of a peer so long ago counts as later than the end of a link to it: events of both come in any order. */
export const FOUND_AGAIN_MS = 10_000
/** How long a service waits for a link to a node that is no neighbour. */
export const REACH_TIMEOUT_MS = 10_000
export const DIAL_TIMEOUT_MS = 20_000
export const REDIAL_MIN_MS = 1_000
/** Within RECONNECT_GRACE_MS of a broken link: some six dials, before its peer counts as gone. */
export const REDIAL_URGENT_MS = 500
export const REDIAL_MAX_MS = 60_000
/** Every so often one member is told who else is here, so that links that nobody redials are found again. */
export const GOSSIP_MS = 30_000
/** Peer ids in one gossip note. */
export const MAX_GOSSIP_PEERS = 64

// --- blocks and files --------------------------------------------------------------------------------------
/** Leaf size of the unixfs-v1-2025 profile, so that CIDs equal those of other tools. */
export const BLOCK_BYTES = 1024 * 1024
/** Children of one DAG node in that profile. */
export const DAG_FANOUT = 1024
/** Largest block stored or accepted: what IPFS tools agree on (a leaf or a directory). */
export const MAX_BLOCK_BYTES = 2 * 1024 * 1024
/** Depth of a file's DAG: nodes have 8 children at least, so those of MAX_DAG_LEAVES have seven; deeper is an attack. */
export const MAX_DAG_DEPTH = 12
/**
 * Leaves of one file: 512 GiB in blocks of a mebibyte, beyond any browser's quota, some 1.3 GiB cut by content; a few
 * hostile blocks can unfold into billions.
 */
export const MAX_DAG_LEAVES = 524_288
/** Entries of a directory that is one block; larger ones are stored in parts. */
export const MAX_PLAIN_ENTRIES = 512
/** Of any directory, all of whose entries are in memory where it is used: some 150 MB. */
export const MAX_DIRECTORY_ENTRIES = 1_000_000
/** Answers of blocks to one peer that are read and sent at a time: each holds two large blocks, whether or not anybody takes them. */
export const MAX_PEER_GETS = 16
/** Questions of one peer for blocks that are looked for at a time: a disk needs 40 ms for a long one, and what comes after waits. */
export const MAX_PEER_LOOKS = 2
/** Pieces of output, and inputs of events, that are in memory for one peer at a time: one piece has 1 MiB, an input up to 16. */
export const MAX_PEER_PIECES = 4
/** CIDs in one have/get call. */
export const MAX_CIDS_PER_CALL = 256
/** Blocks that are remembered as stored here (some 30 MB): half a gigabyte that is cut by content. */
export const MAX_KNOWN_BLOCKS = 250_000
/** Children of nodes of files that are kept decoded (some 15 MB). */
export const MAX_CACHED_CHILDREN = 100_000
/** Links of directories that are kept encoded (some 10 MB). */
export const MAX_ENCODED_LINKS = 30_000
/** Whoever asks how well all is kept waits so long for one answer: a disk that is being written has none within DEFAULT_CALL_TIMEOUT_MS. */
export const HEALTH_ANSWER_MS = 30_000
/** Blocks fetched at a time ahead of a sequential reader, the next while these come: bounds memory per open file. */
export const READAHEAD_BLOCKS = 8
/** The same of small leaves: one request. */
export const MAX_READAHEAD_BLOCKS = 256
/** Changes below a path that one answer to a watcher holds; beyond, it looks for itself. */
export const MAX_CHANGES = 1_024
/** Bytes of where a symbolic link leads: a path of PATH_MAX characters, all of which may need four. */
export const MAX_LINK_BYTES = 16 * 1024
/** Symbolic links on the way to one path, as in Linux; more are a loop. */
export const MAX_SYMLINKS = 40
/** Changed leaves of one open file that are held in memory before they are stored. */
export const MAX_CHANGED_LEAVES = 8
/** Leaves collected before they are stored with one transaction: so many of a mebibyte, or of small ones this number. */
export const WRITE_BATCH_BLOCKS = 8
export const WRITE_BATCH_SMALL_BLOCKS = 1_024
/** Blocks that are copied at a time, however small the last ones were: the next may be of MAX_BLOCK_BYTES. */
export const HOLD_BATCH_BLOCKS = 32
/** The same of those that should be small, as directories are: at most so many that are not. */
export const HOLD_BATCH_SMALL_BLOCKS = 96
/** Roots of versions whose directories are copied together. */
export const HOLD_BATCH_ROOTS = 128
/** When another tab's storage on this disk has not answered for so long, other nodes are asked, and it is left alone for a while. */
export const DEVICE_PATIENCE_MS = 1_000
export const DEVICE_LEFT_ALONE_MS = 30_000
/** How long it is waited for where no other node has the block. */
export const DEVICE_LAST_MS = 5_000
/** A holder that makes no progress for this long is passed over; where there is nobody else, it gets more with each round. */
export const FETCH_STALL_MS = 3_000
/** The same of one request while others of the same holder make progress: whatever is asked abreast shares its link. */
export const FETCH_TURN_MS = 12_000
/** Holders that send blocks of one file at the same time: three keep it, and each costs its share of the reader's link. */
export const FETCH_SOURCES = 3
/** Blocks at a time that are fetched again because the disk was found to have corrupted them when a peer asked. */
export const MAX_BLOCK_REPAIRS = 4
/** When one holder of all has said so, how long others may take to say it too. */
export const FETCH_OTHERS_MS = 20
/** What counts as progress, or a finished block: one piece, so only a holder that drips sends less. */
export const FETCH_PROGRESS_BYTES = BLOCK_ITEM_BYTES
/** Rounds of asking everybody before a missing block is an error. */
export const FETCH_ROUNDS = 3
/** While a member's link is broken and may come back: pauses between asking again, together beyond its grace. */
export const FETCH_PAUSE_MS = 700
export const FETCH_PAUSES = 5
/** An ed25519 signature has 64 bytes. */
export const MAX_SIGNATURE_BYTES = 128
/** Kegs that a node looks after, beside `/`. */
export const MAX_KEGS = 256
/** So long a list of kegs waits for those that do not answer. */
export const KEG_LOOK_MS = 3_000
/** Nodes at a time that may say that they lead a tree, as far as this one remembers: each tree has one. */
export const MAX_TREE_CLAIMS = 32
/** Trees that a tree has taken in and still knows: one of those that returns is not merged again. */
export const MAX_ABSORBED = 256
/** Changes of which a tree remembers that it has made them: as many may be under way when its leader goes. */
export const MAX_TREE_ONCE = 1024
/** An entry of a tree's journal with its changes; members fetch the directories of larger ones. */
export const MAX_TREE_ENTRY_BYTES = 64 * 1024
/**
 * A process that nobody knows is looked for again until all that the relay listed at boot are linked: so long after the last of them
 * came, and after boot at most.
 */
export const MEET_MS = 10_000
export const MEET_MOST_MS = 60_000
/** Versions of a tree that its journal remembers: beyond, old ones that lie close together are thinned out. 130 KB. */
export const MAX_VERSIONS = 1_024
/** The newest of them, which are all there. */
export const MAX_NEWEST_VERSIONS = 256
/** Names of versions, which are never thinned out. */
export const MAX_VERSION_NAMES = 256
/** Versions that a tree brings along into another, with each of their names: some 20 KB of one entry. */
export const MAX_VERSIONS_BROUGHT = 64
/** What a version says of its changes. */
export const MAX_WHAT_CHARS = 96
/** Versions in one answer to another node. */
export const MAX_VERSION_ROWS = 512
/** So long after versions are forgotten their blocks are freed; and so long after that failed it is tried again. */
export const SWEEP_AFTER_MS = 60_000
export const SWEEP_AGAIN_MS = 10 * 60_000
/** Roots of forgotten versions that wait to be swept: those of one `keg gc`. */
export const MAX_FORGOTTEN = 2 * MAX_VERSIONS
/** Versions that were thinned out are swept when there are so many, without anybody asking. */
export const MAX_THINNED = 256
/** So long a block is left alone that was stored here, or found to be here: an event that did may be about to name it. */
export const TOUCHED_MS = 150_000
/** What is read is kept when it is smaller than this: directories, small files, programs. Larger blocks when they are read again… */
export const READ_KEPT_BYTES = 64 * 1024
/** …while so many are remembered of those that were read last (some 4 MB of memory, 32 GiB of files). */
export const MAX_READ_BLOCKS = 32_768
/**
 * Blocks in memory, with those on their way to the disk: a file that is written has 8 MiB beside them, together 64.
 * Each is freed when nobody has used it for so long, or half as long again.
 */
export const CACHED_BYTES = 56 * 1024 * 1024
/** Of them for those that were stored here and not asked for yet, whatever is asked for. */
export const CACHED_FRESH_BYTES = 8 * 1024 * 1024
export const CACHED_MS = 60_000
/** Copies of what was read that a tab keeps for itself, before it frees those that it does not owe anybody. */
export const MAX_COPIED_BYTES = 1024 * 1024 * 1024
/** So long after there was nothing to free it is not tried again. */
export const MAKE_ROOM_AGAIN_MS = 60_000
/** So long whoever stores something waits for room. */
export const MAKE_ROOM_WAIT_MS = 10_000
/** Blocks that are remembered like that (some 100 MB, where there are so many); with more, nothing is freed for as long. */
export const MAX_TOUCHED = 600_000
/** How long calls wait after boot for what others know of trees: a dozen tabs that start on two cores need most of it. */
export const TREE_EXPECT_MS = 60_000
/** How long a read waits for who leads the tree: until a killed one is noticed and another elected. */
export const TREE_READ_MS = 8_000
/** How long nobody may lead the tree before a change begins a branch: an election takes a fraction of it. */
export const TREE_BRANCH_MS = 4_000
/** How long nobody may lead it before it is kept on as a branch though nobody changes it: whoever reloads is back. */
export const TREE_ADOPT_MS = 10_000
/** Pause between the turns of those who could begin a branch, and how much later nodes come that do not keep the tree. */
export const TREE_TURN_MS = 250
export const TREE_INFORMED_MS = 2_000
/** How long who begins a branch may need to copy directories that another says it has newer ones of. */
export const TREE_TOLD_MS = 5_000
/** How long a change waits for a leader that takes it. */
export const TREE_GIVE_UP_MS = 15_000
/**
 * So long after boot a node believes others that there is a written tree, although nobody says that it leads one; longer
 * where somebody who is here says so: a dozen tabs on two cores, of which one is killed every few seconds, need minutes.
 */
export const TREE_BELIEVE_MS = 60_000
export const TREE_BELIEVE_HERE_MS = 300_000
/** Links to those who know it come up within this time of each other, mostly: nobody need be told then. */
export const TREE_TELL_MS = 500
/** Pause before a change that was not taken is tried again, unless something happens before. */
export const TREE_RETRY_MS = 1_000
/** A node of which somebody says that it leads a tree is asked this often. */
export const TREE_ASK_AGAIN_MS = 10_000
/** How long a leader whose disk took no more does not hand its tree over again: others had their turn by then. */
export const TREE_YIELD_MS = 30_000
/** Attempts to merge two trees between notices, and the pause after a failed one. */
export const TREE_MERGE_ATTEMPTS = 10
export const TREE_MERGE_PAUSE_MS = 3_000
/** Heads are recorded at most this often: for a cold start, not for durability. */
export const TREE_RECORD_MS = 2_000
/** Directories of one tree that a keeper copies, each counted once: far beyond any use, and a few hostile blocks name more. */
export const MAX_TREE_DIRECTORIES = 1_000_000
/** Devices on which each block should be, where there are as many: its own, and one that may stay when that goes. */
export const REPLICAS = 2
/**
 * Devices that keep each leaf of a file, unless the keg says otherwise: one more than REPLICAS, so that these are still there
 * while what a lost one kept is copied.
 */
export const COPIES = 3
/** Leaves from this size on are placed one by one where there are more devices than that; smaller ones are where the tree is. */
export const PLACED_BYTES = 64 * 1024
/** What one call asks a node to keep: it takes some seconds at most, and the next node need not wait longer. */
export const KEEP_BATCH_BYTES = 4 * 1024 * 1024
export const KEEP_TIMEOUT_MS = 60_000
/** So long such a call may take, and at least so fast: then somebody else is asked as well, and that node not for a while. */
export const KEEP_PATIENCE_MS = 2_000
export const KEEP_BYTES_PER_MS = 512
export const KEEP_AGAIN_MS = 60_000
/** How often it is looked meanwhile whether that node is still awake. */
export const KEEP_LOOK_MS = 1_000
/** So old what nodes have said of what they keep may be when it is looked at again. */
export const PLACE_LEARN_MS = 60 * 60_000
/** So long after copies could not be made it is tried again, and at most. */
export const PLACE_AGAIN_MS = 5_000
export const PLACE_AGAIN_MAX_MS = 20 * 60_000
/** Such calls that a leader has under way: all of them may pull from the same node. */
export const KEEP_CALLS = 4
/** Nodes that are named as having what is to be kept: each is tried for seconds. */
export const MAX_HINTS = 8
/** Leaves of one tree whose holders are known (some 300 MB): a tebibyte of full ones. */
export const MAX_PLACED = 1_000_000
/** Whoever says what a tree needs has counted its leaves by then: what came into it since it began to is remembered for so long. */
export const PLACE_NEEDS_MS = 10 * 60_000
/** So long after this node leads a tree, or somebody came, it looks who keeps what. */
export const PLACE_REVIEW_MS = 5_000
/** Pins in one record: all of it is written when one is added. 150 KB. */
export const PINS_PER_RECORD = 4_096
/** Blocks that one check looks for: 256 GiB of full ones. */
export const MAX_CHECKED_BLOCKS = 262_144
/** Blocks that one check names as in danger or lost; it counts the others. */
export const MAX_TROUBLES = 100
/** Blocks of one CAR: 1 TiB of full ones; what is known of each while it is written is some 100 bytes. */
export const MAX_CAR_BLOCKS = 1_000_000
/** A directory in a CAR whose block would be larger is cut into shards: what the unixfs-v1-2025 profile says. */
export const SHARD_ABOVE_BYTES = 256 * 1024
/** Shards below each other: a million names make four; more were made to have the same hash. */
export const MAX_SHARD_DEPTH = 32
/** A CAR's header is a root and a version. */
export const MAX_CAR_HEADER_BYTES = 4096
/** Directory depth of the tree: POSIX paths end before. */
export const MAX_TREE_DEPTH = 256

// --- journals ----------------------------------------------------------------------------------------------
/** Members of one group: three, and those that come while others go. */
export const MAX_VOTERS = 9
/** One entry: it travels in one message, with others or alone. Owners keep what is larger in blocks. */
export const MAX_ENTRY_BYTES = 768 * 1024
/** Entries of one message to a member, and their bytes together: they have to fit a frame. */
export const MAX_APPEND_ENTRIES = 4096
export const MAX_APPEND_BYTES = 1024 * 1024
/** How long a leader may answer reads without asking a majority, from when it began to ask last. */
export const RAFT_LEASE_MS = 1_000
/** How long members stay with a leader that they heard: longer than its lease, by more than clocks drift meanwhile. */
export const RAFT_STICK_MS = 1_500
/** A message to a live member that is not answered is sent again after this: streams lose nothing, links break. */
export const RAFT_RETRY_MS = 1_000
/**
 * A member that is there and has stored nothing of what it lacks for so long is not waited for where the witness can decide: its
 * disk may be full. It is asked again at longer and longer intervals, up to RAFT_RETRY_MAX_MS.
 */
export const RAFT_MUTE_MS = 5_000
/** So long whoever gave way, because the others have no room for what it led, leaves it to them to be elected. */
export const RAFT_GIVE_WAY_MS = 10_000
/** Who was asked for a vote, and has no more than who asked, gives it up to this many times as long before it asks itself. */
export const RAFT_COURTESY = 5
/** Who has asked for votes so often in vain waits twice as long each time… */
export const RAFT_EAGER_RETRIES = 8
/** …up to this. */
export const RAFT_RETRY_MAX_MS = 10_000

/** How far ahead of its own a member believes a term: elections raise it one by one, and exact numbers end at 2^53. */
export const MAX_TERM_LEAP = 2 ** 20

/** Nodes that keep a journal: any one of three may vanish. */
export const GROUP_SIZE = 3
/** Journals that one node keeps: what its memory and its boot can bear; far beyond what a class makes. */
export const MAX_GROUPS = 20_000
/** Journals that somebody has named and whose beginning has not arrived: more than a class begins in a moment. */
export const MAX_UNBORN_GROUPS = 256
/** Of them those that one peer has named: nobody alone keeps the journals of others from beginning. */
export const MAX_UNBORN_OF_PEER = MAX_UNBORN_GROUPS / 4
/** Journals that a node kept once and does not vote for: what its tabs of long ago may come back with. 20 KB at most. */
export const MAX_DEPARTED = 256
/** How long a change waits for a second copy where its leader alone could decide. */
export const GROUP_HOPE_MS = 2_000
/** How long a change waits for every member that is here: one may have to fetch a large file, or have a full disk. */
export const GROUP_ALL_MS = 20_000
/** How long a new journal may take until enough nodes have it: they may be busy with a hundred megabytes that were just written. */
export const GROUP_BEGIN_MS = 20_000
/** The same of one that can begin again, with whoever answers then. */
export const GROUP_AGAIN_MS = 10_000
/** So long no new journal counts on a node that stored nothing of one until that was given up, though it answers otherwise. */
export const GROUP_MUTE_MS = 300_000
/**
 * A member that is there and has stored nothing of what it lacks for so long is not waited for: a newcomer keeps no others from being
 * asked, and a voter only learns from then on. Large trees take longer on slow links, and lose nothing by it.
 */
export const GROUP_LEARN_MS = 60_000
/** Pause between the turns of those who could lead: a few round trips and a flush of a disk. */
export const GROUP_ELECTION_STEP_MS = 150
/** After a start others may lead already: they say so as soon as they are linked. */
export const GROUP_BOOT_MS = 500
/** A journal whose disk stored nothing is opened again after this: room is made, or found, within seconds… */
export const GROUP_REOPEN_MIN_MS = 5_000
/** …or much later; each time waits twice as long as the last, up to this. */
export const GROUP_REOPEN_MAX_MS = 60_000
/** Changes of members are considered this long after something has changed, all journals together. */
export const GROUP_REVIEW_MS = 50
/** How long a node may be away before another takes its place in a journal: longer than a reload takes. */
export const GROUP_REPLACE_MS = 5_000
/** The same for one that went without a word: it was missed for some seconds already, and does not come back at once. */
export const GROUP_REPLACE_DEAD_MS = 500
/** How long a node may be silent, though its network stack answers, until others lead what it leads: a busy one comes back. */
export const SILENT_MS = 10_000

// --- processes ---------------------------------------------------------------------------------------------
/** Events leased to a node beyond its running ones, per slot: hides the round trip for short tasks. */
export const LEASE_DEPTH = 2
/**
 * Slots that a node is believed to have before it has completed anything for this home; each completion shows one more. Any number
 * can be said, and who said a thousand and answered for nothing had all events of every process.
 */
export const BELIEVED_SLOTS = 8
/** Events that are leased together because they are short: so many at most… */
export const MAX_LEASED_TOGETHER = 32
/**
 * …and for so long, as their kind has taken lately. A lease costs its messages and entries 10 ms and more of all processors; a
 * slot is given to another process, and a job that is stopped stands still, only after it.
 */
export const LEASED_TOGETHER_MS = 250
/** How long a completion may wait for others of its lease, to travel with them. */
export const COMPLETION_WAIT_MS = 8
/** How long an entry that nobody waits for may wait for others, to be written with them… */
export const ENTRY_WAIT_MS = 200
/** …unless there are so many. */
export const MAX_WAITING_ENTRIES = 32
export const MAX_WAITING_ENTRY_BYTES = 64 * 1024
/** The completion of an event that ran for so long is written at once: an append costs less than to run it again. */
export const LONG_EVENT_MS = 1_000
/** Completions of one process that may be under way to disks: one flush takes them all. */
export const MAX_SETTLING = 256
/** A handler that has not answered for this long is taken for an endless loop. `run --timeout` changes it. */
export const DEFAULT_EVENT_MS = 60_000
/**
 * After that, the grace in which a busy but live runtime can still answer a ping: this part of the time before, but at least and
 * at most so long. On two cores that fifteen tabs share, workers that do nothing but wait for files have answered after seconds.
 */
export const PING_GRACE_MS = 2_000
export const PING_GRACE_MAX_MS = 30_000
export const PING_GRACE_PART = 1 / 6
/** Messages per second from one task; ordinary programs stay two orders below. */
export const MAX_TASK_MESSAGES_PER_S = 50_000
/** Messages that a task may send before it answers a ping: its client library keeps to an eighth of it. */
export const MAX_UNANSWERED_MESSAGES = 2_048
/** Output of one event not yet taken by its home: pushes back on the task beyond. */
export const OUTPUT_PIECE_BYTES = 64 * 1024
/** Output of one process, both streams together. */
export const MAX_OUTPUT_BYTES = 1024 * 1024 * 1024
/** A completion (result, emitted events, files) encoded. */
export const MAX_COMPLETION_BYTES = 64 * 1024 * 1024
/** Of that, what the emitted events may take. */
export const MAX_EMIT_BYTES = 60 * 1024 * 1024
/** Changes of files in one event, and the length of their paths together: they travel to the tree in one message. */
export const MAX_EVENT_CHANGES = 4096
export const MAX_EVENT_CHANGE_BYTES = 1024 * 1024
/** What a listing of processes shows of arguments and errors, and all its rows together: a frame holds 2 MiB. */
export const MAX_ROW_CHARS = 1_000
/** Rows of one answer about a journal: with the longest details they fill half a frame. */
export const MAX_HISTORY_ROWS = 256
export const MAX_ROWS_BYTES = 1024 * 1024
/** Processes of other homes whose place is remembered. */
export const MAX_REMEMBERED_HOMES = 4096
/** Events that a task may emit when there is room again, or when nothing has moved for this long. */
export const EMIT_STEP = 1_024
export const QUEUE_PATIENCE_MS = 1_000
/** Running events that a row of a process shows. */
export const MAX_WORKING = 32
/** Data of one process's events and results that its home keeps in memory; larger state belongs in files. */
export const MAX_PROCESS_BYTES = 256 * 1024 * 1024
/** Ended processes remembered by a home. */
export const MAX_ENDED_PROCESSES = 200
/** Journal entries, or bytes of them, kept before a snapshot replaces them. */
export const COMPACT_ENTRIES = 4096
export const COMPACT_BYTES = 1024 * 1024
/** Arguments of a process together: they stand in the first entry of its journal three times. */
export const MAX_ARGS_BYTES = 192 * 1024
/** Events of one process in all: their counts are kept for as long as it runs. */
export const MAX_EVENTS = 50_000_000
/** Blocks with what is told of folded entries: the events of half a million; of longer processes the latest. */
export const MAX_PAST_BLOCKS = 512
/** Input of an event sent along with its lease; larger input is pulled by the executor. */
export const INLINE_INPUT_BYTES = 64 * 1024
/** How far a process or a call is, is told at most once per this time. */
export const PROGRESS_MS = 100
