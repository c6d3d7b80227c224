// When the system cannot run here at all: says what is wrong and what helps, in plain words, instead of a terminal.

/** What a page on an insecure origin can still do about it. */
export async function explainInsecurePage(element: HTMLElement): Promise<void> {
  explain(element, 'This page needs a secure address', [
    'Browsers let a page keep files, use encryption and talk to other tabs only if it was opened over https, or as ' +
      'http://localhost. This one was opened over plain http.',
    'Ask whoever started Brittlestar for the https address: it was printed in their terminal, with a QR code.',
  ])
  const url = await secureUrl()
  if (!url) return
  const paragraph = document.createElement('p')
  const link = document.createElement('a')
  link.href = url
  link.textContent = url
  paragraph.append('The same system on its secure address: ', link)
  const note = document.createElement('p')
  note.textContent =
    'The browser may warn about the certificate, because it was made by that computer itself. ' +
    'Go on if you trust the people who run it.'
  element.append(paragraph, note)
}

export function explainMissing(element: HTMLElement, missing: readonly string[]): void {
  explain(element, 'This browser cannot run Brittlestar', [
    `It lacks ${missing.join(', ')}.`,
    'A current Chrome, Edge, Firefox or Safari has all that is needed. Private windows may switch some of it off.',
  ])
}

function explain(element: HTMLElement, heading: string, paragraphs: readonly string[]): void {
  const title = document.createElement('h2')
  title.textContent = heading
  const texts = paragraphs.map((text) => {
    const paragraph = document.createElement('p')
    paragraph.textContent = text
    return paragraph
  })
  element.className = 'trouble'
  element.replaceChildren(title, ...texts)
}

/** From the relay that served this page; undefined when it offers none. */
async function secureUrl(): Promise<string | undefined> {
  try {
    const answer: unknown = await (await fetch('/relay.json')).json()
    const url = typeof answer === 'object' && answer !== null && 'secureUrl' in answer ? answer.secureUrl : undefined
    return typeof url === 'string' && url.startsWith('https://') ? url : undefined
  } catch {
    return undefined // another server, or none: the paragraphs above have to do
  }
}
