// How many decisions a second does Cedar make?
//
//     node cedar_rate.cjs MODULE POLICY REQUESTS
//
// The peer of decide_rate.c, with the same lines out and in. POLICY is a text
// of Cedar policies, REQUESTS a JSON list of calls of statefulIsAuthorized
// without their preparsedPolicySetId.
"use strict";
const fs = require("fs");
const readline = require("readline");

const [, , module_, policy, requests] = process.argv;
const cedar = require(module_);
const used = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

const text = fs.readFileSync(policy, "ascii");
const begin = used();
const loaded = cedar.preparsePolicySet("p", { staticPolicies: text });
if (loaded.type !== "success") throw new Error(JSON.stringify(loaded));
const load = used() - begin;

const calls = JSON.parse(fs.readFileSync(requests, "ascii"));
for (const call of calls) call.preparsedPolicySetId = "p";
const decide = (call) => {
  const said = cedar.statefulIsAuthorized(call);
  if (said.type !== "success") throw new Error(JSON.stringify(said));
  return said.response.decision === "allow";
};

const permits = calls.map((call) => (decide(call) ? "1" : "0")).join("");
console.log(JSON.stringify({ load_s: load, permits }));

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const start = used();
  let made = 0;
  let end;
  do {
    decide(calls[made % calls.length]);
    made++;
    end = used();
  } while (end - start < Number(line));
  console.log(JSON.stringify({ rate: made / (end - start) }));
});
