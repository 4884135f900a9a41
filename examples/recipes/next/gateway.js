import { Gateway } from "../gateway.mjs";

const { GATEWAY_URL, PUBLISHABLE_KEY, BANNER_DEADLINE_MS = "150" } = process.env;

export const gateway = new Gateway(GATEWAY_URL, PUBLISHABLE_KEY, { deadlineMs: Number(BANNER_DEADLINE_MS) });
