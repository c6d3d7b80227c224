// What the programs in public/examples must do on anything that runs programs: a fake kernel (examples.test.ts), the
// simulator, real tabs. WordCount is held to the shell pipeline that it promises to equal.
import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

export interface ProgramRun {
  stdout: string
  stderr: string
  code: number
}

export interface ProgramHost {
  writeFile(path: string, bytes: Uint8Array): Promise<void>
  /** Undefined when there is none. */
  readFile(path: string): Promise<Uint8Array | undefined>
  /** @param name of a file in public/examples */
  run(name: string, args: string[]): Promise<ProgramRun>
  list(path: string): Promise<string[]>
}

const text = (value: string) => new TextEncoder().encode(value)

/** The reference, in the shape in which wordcount.js prints. */
export function countWithShell(bytes: Uint8Array): string {
  const pipeline = `LC_ALL=C tr -cs '[:alnum:]' '\\n' | LC_ALL=C tr A-Z a-z | LC_ALL=C sort | LC_ALL=C uniq -c`
  const counted = execFileSync('sh', ['-c', pipeline], { input: bytes, encoding: 'latin1', maxBuffer: 2 ** 30 })
  return counted.replace(/^ *(\d+) (.*)$/gm, '$2 $1')
}

const giant = 'Giant'.repeat(500)
const nasty: Record<string, Uint8Array> = {
  'an empty file': text(''),
  'only separators': text(' \n\t--\r\n'),
  'one letter': text('A'),
  'no newline at the end': text('one two\nTwo'),
  'a newline at the end': text('one two\n'),
  'a separator at the beginning': text('\nfirst FIRST second'),
  CRLF: text('one\r\ntwo\r\none\r\n'),
  'digits and case': text('a1 A1 1a 007 7'),
  'bytes beyond ASCII': text('naïve café — ünïcode ﬁ'),
  'every byte': Uint8Array.from({ length: 1024 }, (_, i) => i % 256),
  'NUL and DEL': Uint8Array.from([0, 65, 0, 0, 127, 97, 127]),
  'a giant word': text(giant),
  'a giant word between others': text(`a ${giant} b ${giant}`),
  'a giant word at the beginning': text(`${giant} x`),
  'a UTF-8 byte order mark': Uint8Array.from([0xef, 0xbb, 0xbf, 97]),
  'words like object properties': text('constructor __proto__ toString hasOwnProperty valueOf constructor'),
}

export function examplesContract(name: string, make: () => Promise<ProgramHost>): void {
  describe(`wordcount on ${name}`, () => {
    async function counts(bytes: Uint8Array, chunk: number): Promise<string> {
      const host = await make()
      await host.writeFile('/in', bytes)
      const run = await host.run('wordcount.js', ['/in', '/out', `${chunk}`])
      expect(run).toEqual({ stdout: '', stderr: '', code: 0 })
      expect(await host.list('/tmp')).toEqual([])
      return new TextDecoder().decode(await host.readFile('/out'))
    }

    for (const [what, bytes] of Object.entries(nasty)) {
      it(`counts as the shell does: ${what}`, async () => {
        const expected = countWithShell(bytes)
        for (const chunk of [1, 2, 7, 64, 4 * 1024 * 1024]) {
          if (bytes.byteLength / chunk <= 600) expect(await counts(bytes, chunk)).toBe(expected)
        }
      })
    }

    it('counts as the shell does, whatever the bytes and the chunks', async () => {
      const byte = fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...text('aabBcC019 \n')) }, fc.nat(255))
      const bytes = fc.array(byte, { maxLength: 300 }).map((values) => Uint8Array.from(values))
      await fc.assert(
        fc.asyncProperty(bytes, fc.integer({ min: 1, max: 80 }), async (input, chunk) => {
          expect(await counts(input, Math.max(chunk, Math.ceil(input.length / 60)))).toBe(countWithShell(input))
        }),
        { numRuns: 60 },
      )
    })

    it('counts many different words in several ranges', async () => {
      const words = Array.from({ length: 20_000 }, (_, i) => `${(i * 7919) % 10_007} W${i % 5000}`)
      const bytes = text(words.join(' '))
      expect(await counts(bytes, 8192)).toBe(countWithShell(bytes))
    })

    it('prints to stdout, and finds the file relative to where it is run', async () => {
      const host = await make()
      await host.writeFile('/in', text('b a b'))
      expect(await host.run('wordcount.js', ['in'])).toEqual({ stdout: 'a 1\nb 2\n', stderr: '', code: 0 })
    })

    it('explains itself without arguments and ends with code 2', async () => {
      const run = await (await make()).run('wordcount.js', [])
      expect(run).toMatchObject({ stdout: '', stderr: expect.stringMatching(/^usage: /), code: 2 })
    })

    it('names a file that is missing and ends with code 1', async () => {
      const run = await (await make()).run('wordcount.js', ['/none'])
      expect(run).toMatchObject({ stdout: '', stderr: expect.stringMatching(/^wordcount: .*\/none.*\n$/), code: 1 })
    })

    it('leaves nothing behind when the counts cannot be written, and says why in one line', async () => {
      const host = await make()
      await host.writeFile('/in', text('b a b'))
      await host.writeFile('/dir/file', text(''))
      for (const [args, why] of [
        [['/'], '/ is a directory'],
        [['/in', '/dir'], '/dir is a directory'],
        [['/in', '/bin/x'], '/bin'],
      ] as const) {
        const run = await host.run('wordcount.js', [...args])
        expect(run).toMatchObject({ stdout: '', code: 1 })
        expect(run.stderr).toMatch(/^wordcount: [^\n]+\n$/)
        expect(run.stderr).toContain(why)
        expect(await host.list('/tmp')).toEqual([])
      }
    })
  })

  describe(`primes on ${name}`, () => {
    const line = async (...args: string[]) => (await (await make()).run('primes.js', args)).stdout

    it('counts the primes below a limit, whatever the chunks', async () => {
      expect(await line('0')).toBe('0 primes below 0\n')
      expect(await line('3')).toBe('1 primes below 3\n')
      expect(await line('100', '7')).toBe('25 primes below 100\n')
      expect(await line('1000000', '99999')).toBe('78498 primes below 1000000\n')
      expect(await line()).toBe('348513 primes below 5000000\n')
    })

    it('refuses what is no number with code 2', async () => {
      expect(await (await make()).run('primes.js', ['many'])).toMatchObject({ code: 2, stdout: '' })
      expect(await (await make()).run('primes.js', ['10', '0'])).toMatchObject({ code: 2, stdout: '' })
    })
  })

  describe(`mandelbrot on ${name}`, () => {
    it('draws rows in order, symmetric about the real axis, in the size asked for', async () => {
      const { stdout, code } = await (await make()).run('mandelbrot.js', ['60', '21'])
      const rows = stdout.trimEnd().split('\n')
      expect(code).toBe(0)
      expect([rows.length, ...new Set(rows.map((row) => row.length))]).toEqual([21, 60])
      expect(rows).toEqual(rows.toReversed())
      expect(rows[10]).toContain('@@@@@@@@')
    })

    it('is 100 by 32 unless told, and coloured if told', async () => {
      const plain = await (await make()).run('mandelbrot.js', [])
      expect(plain.stdout.split('\n')[0]?.length).toBe(100)
      expect(plain.stdout.trimEnd().split('\n').length).toBe(32)
      const coloured = await (await make()).run('mandelbrot.js', ['20', '5', '--color'])
      expect(coloured.stdout).toContain('\x1b[')
    })

    it('refuses a size that is none with code 2', async () => {
      expect(await (await make()).run('mandelbrot.js', ['0'])).toMatchObject({ code: 2 })
    })
  })
}
