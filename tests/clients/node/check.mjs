// What both Node scripts check with: a counter, deep equality, and an expected error.
import { isDeepStrictEqual } from "node:util";

export class Checks {
  constructor(client) {
    this.client = client;
    this.count = 0;
  }

  equal(name, found, wanted) {
    this.count += 1;
    // Replies of some clients are objects without a prototype: compare what they hold.
    const plain = (value) =>
      value !== null && typeof value === "object" && !Array.isArray(value) ? { ...value } : value;
    if (!isDeepStrictEqual(plain(found), plain(wanted))) {
      throw new Error(`${this.client}: ${name}: wanted ${JSON.stringify(wanted)}, found ${JSON.stringify(found)}`);
    }
  }

  async fails(name, text, call) {
    let found;
    try {
      found = await call();
    } catch (error) {
      this.equal(`${name} (in ${error.message})`, error.message.includes(text), true);
      return;
    }
    throw new Error(`${this.client}: ${name}: wanted an error, found ${JSON.stringify(found)}`);
  }

  done() {
    console.log(`${this.client}: ${this.count} checks`);
  }
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
