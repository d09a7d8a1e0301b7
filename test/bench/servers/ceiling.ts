/** The ceiling: every other server is measured as a part of this one. */
import { serve } from "./bare.ts";

serve(() => 200);
