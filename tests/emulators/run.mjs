// Runs the example without a standard library as WebAssembly: `node run.mjs PROGRAM.wasm`. What it asks for is a way to print
// and to stop.
import { readFileSync } from "node:fs";

let text = "";
const env = {
  putchar(byte) {
    text += String.fromCharCode(byte);
    return byte;
  },
  abort() {
    throw new Error("the program stopped itself");
  },
};
const { instance } = await WebAssembly.instantiate(readFileSync(process.argv[2]), { env });
const code = instance.exports.main(0, 0);
process.stdout.write(text);
process.exitCode = code;
