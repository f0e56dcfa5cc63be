// Server-sent events, read as the HTML standard says, from byte chunks cut anywhere.

export class EventParser {
  private decoder = new TextDecoder();
  private rest = '';
  private data: string[] = [];

  // The `data` of every event that these bytes complete.
  push(bytes: Uint8Array): string[] {
    this.rest += this.decoder.decode(bytes, { stream: true });
    const events: string[] = [];
    let from = 0;
    for (;;) {
      let end = from;
      while (end < this.rest.length && this.rest[end] !== '\n' && this.rest[end] !== '\r') end++;
      if (end === this.rest.length) break;
      // A carriage return at the very end may be half of a line end.
      if (this.rest[end] === '\r' && end + 1 === this.rest.length) break;
      const line = this.rest.slice(from, end);
      from = end + (this.rest[end] === '\r' && this.rest[end + 1] === '\n' ? 2 : 1);
      if (line === '') {
        if (this.data.length > 0) events.push(this.data.join('\n'));
        this.data = [];
      } else if (line.startsWith('data:')) {
        this.data.push(line.slice(line[5] === ' ' ? 6 : 5));
      } else if (line === 'data') {
        this.data.push('');
      } // comments, event names and ids carry nothing we use
    }
    this.rest = this.rest.slice(from);
    return events;
  }
}
