// Boots one tab: claims a slot, opens its storage, makes the adapters and gives them to the kernel. The order is
// chosen for the prompt: what does not depend on each other runs at the same time, and nothing waits for the relay.
import examples from 'virtual:brittlestar-examples'
import { blockStoreOn } from '../../src/adapters/indexeddb/blockstore.ts'
import { SlotDatabase } from '../../src/adapters/indexeddb/database.ts'
import { IndexedDbDeviceStore } from '../../src/adapters/indexeddb/devicestore.ts'
import { IndexedDbLogStore } from '../../src/adapters/indexeddb/logstore.ts'
import { createIdentity, type Identity, loadIdentity } from '../../src/adapters/libp2p/identity.ts'
import { createLibp2pNode } from '../../src/adapters/libp2p/node.ts'
import { installPeerConnection } from '../../src/adapters/rtc/worker.ts'
import { createSandbox } from '../../src/adapters/sandbox/worker.ts'
import { systemClock } from '../../src/adapters/system/clock.ts'
import { deviceId } from '../../src/adapters/system/device.ts'
import { missingWorkerApis } from '../../src/adapters/system/features.ts'
import { systemHasher } from '../../src/adapters/system/hasher.ts'
import { type RingLog, ringLog } from '../../src/adapters/system/logsink.ts'
import { systemRandom } from '../../src/adapters/system/random.ts'
import { claimSlot, storedSlots } from '../../src/adapters/system/slots.ts'
import { toHex, utf8 } from '../../src/base/bytes.ts'
import { OsError } from '../../src/base/errors.ts'
import { Kernel } from '../../src/kernel/kernel.ts'
import type { LogStore } from '../../src/ports/logstore.ts'
import type { Random } from '../../src/ports/random.ts'
import type { Sandbox } from '../../src/ports/sandbox.ts'
import type { BootOptions, LifecycleEvent } from '../../src/syscalls/control.ts'
import type { MessageLink } from '../../src/syscalls/protocol.ts'
import { RelayFinder } from './relay-info.ts'

export interface Tab {
  slot: number
  nodeId: string
  log: RingLog
  lifecycle(event: LifecycleEvent): Promise<void>
}

const VERSION = '0.1.0'
const KEY_RECORD = 'identity'

/** @throws {OsError} ENOTSUP when this browser lacks something, EIO or ENOSPC when its storage fails. */
export async function bootTab(options: BootOptions<MessagePort>): Promise<Tab> {
  const missing = missingWorkerApis()
  if (missing.length > 0)
    throw new OsError('ENOTSUP', `this browser lacks what the kernel needs: ${missing.join(', ')}`)
  const log = ringLog({ console: { warn: () => undefined, error: () => undefined } })
  const clock = systemClock()
  const random = systemRandom()
  // Before libp2p is loaded: its WebRTC transport copies the globals then.
  installPeerConnection(options.rtcPort, { log })
  let node: ReturnType<typeof createLibp2pNode> | undefined
  const relay = new RelayFinder({ origin: options.origin, clock, log, onInfo: (info) => node?.setRelay(info) })
  const asked = relay.ask()
  const hasher = systemHasher()
  const [{ slot, release }, device, goodbye] = await Promise.all([
    claimSlot({ preferred: options.preferredSlot, reloaded: options.reloaded, only: options.orphan }),
    deviceId(),
    hasher.sha256(utf8(options.goodbye)).then(toHex),
  ])
  const database = new SlotDatabase(slot)
  await database.open()
  const logStore = new IndexedDbLogStore(database)
  const identity = await identityOf(logStore, random)
  const network = createLibp2pNode({ identity, relay: relay.info ?? null, log, random, goodbye })
  node = network
  const kernel = new Kernel(
    {
      clock,
      random,
      hasher,
      signer: identity.signer,
      log,
      network: network.network,
      dht: network.dht,
      blockStore: blockStoreOn(database),
      deviceStore: new IndexedDbDeviceStore(slot, storedSlots),
      logStore,
      sandbox: options.orphan ? noSandbox : createSandbox(options.sandboxPort),
    },
    {
      cluster: () => relay.info?.cluster ?? 'brittlestar',
      device,
      slot,
      goodbye,
      version: VERSION,
      builtin: Object.fromEntries(Object.entries(examples).map(([name, source]) => [`examples/${name}`, source])),
      inviteUrl: () => inviteUrl(options.origin, relay.info?.secureUrl ?? null),
      recentLog: () => log.lines(),
    },
  )
  network.network.on((event) => {
    if (event.type === 'relay' && event.state === 'offline') relay.later()
  })
  await kernel.start(asked)
  kernel.serve(portLink(options.syscallPort))
  const leave = async () => {
    relay.close()
    await network.close()
  }
  // It would go on being counted among those that keep journals, and who waits for their majority would wait for ever.
  void database.gone.then((error) => {
    kernel.bereft(error)
    return leave()
  })
  return {
    slot,
    nodeId: identity.nodeId,
    log,
    async lifecycle(event) {
      kernel.lifecycle(event)
      if (event === 'online' || event === 'resume' || event === 'visible') void relay.ask()
      if (event !== 'pagehide') return
      await leave()
      release()
    },
  }
}

async function identityOf(store: LogStore, random: Random): Promise<Identity> {
  const stored = await store.getRecord(KEY_RECORD)
  if (stored) return loadIdentity(stored)
  const identity = await createIdentity(random)
  await store.putRecord(KEY_RECORD, identity.privateKeyBytes)
  return identity
}

/** Of a kernel without a page of its own. */
const noSandbox: Sandbox = {
  slots: 0,
  spawn: () => Promise.reject(new OsError('ENOTSUP', 'no programs run here')),
  dropDomain: () => undefined,
  close: () => undefined,
}

/** Where another device finds this cluster; null when only this machine can. */
function inviteUrl(origin: string, secureUrl: string | null): string | null {
  const { hostname } = new URL(origin)
  const local = hostname === 'localhost' || hostname === '127.0.0.1' || hostname === '[::1]'
  return local ? secureUrl : origin
}

function portLink(port: MessagePort): MessageLink {
  return {
    post: (message, transfer = []) => port.postMessage(message, [...transfer]),
    onMessage: (listener) => {
      port.onmessage = (event) => listener(event.data)
    },
    close: () => port.close(),
  }
}
